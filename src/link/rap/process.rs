//! Messages to a process that the server has under control.

use super::Client;
use crate::error::Result;
use crate::output::Cancel;
use crate::protocol::rap2::{self, LATEST, Op};

impl Client {
    /// Whether the server passes messages to processes.
    pub fn reaches_processes(&self) -> bool {
        self.speaks(Op::Target)
    }

    /// From now on every new connection opens `path` instead.
    pub fn aim(&mut self, path: String) {
        self.target.path = path;
    }

    /// Makes the connection anew, and opens the file again.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_again(&mut self, cancel: &Cancel) -> Result<()> {
        self.drop_connection();
        self.establish(cancel)
    }

    /// Passes a message to the process behind the opened file and waits for the answer, as long as it takes. `cancel`
    /// ends the wait over there, and the answer says how far it came.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::error::Kind::Unsupported) when no process is behind it, or the server knows none.
    pub fn process(&mut self, call: &[u8], cancel: &Cancel) -> Result<Vec<u8>> {
        self.needs(Op::Target)?;
        let request = rap2::Request::Target { descriptor: LATEST, call };
        self.converse(&request, cancel, &mut |_| Ok(()))
    }
}
