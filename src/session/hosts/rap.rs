//! `rap://` and `raps://` hosts.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::connect::{Line, first_use};
use super::{Peer, State, Suggestions, seek_by_command};
use crate::error::{Error, Kind, Result};
use crate::link::Traffic;
use crate::link::dial::{Place, dial_with_token};
use crate::link::rap::{Client, Target};
use crate::link::tls::FirstUse;
use crate::output::Cancel;

/// Connects to the rap server at `place`, opens `path` there (empty: nothing), and returns what the user should see.
pub fn connect(place: Place, path: &str, line: &Line) -> Result<(Client, Option<String>)> {
    let target = Target {
        place: place.to_string(),
        path: path.to_string(),
        flags: 0,
        timeout: line.timeout,
        cancel: line.cancel.clone(),
    };
    let (security, timeout) = (line.security.clone(), line.timeout);
    let seen: Arc<Mutex<Option<FirstUse>>> = Arc::default();
    let record = Arc::clone(&seen);
    let connect = move |cancel: &Cancel| {
        let (link, first) = dial_with_token(&place, &security, timeout, cancel)?;
        *record.lock().unwrap_or_else(PoisonError::into_inner) = first;
        Ok(link)
    };
    let client = Client::connect(Box::new(connect), target)?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((client, seen.map(|first| first_use(&first))))
}

impl Peer for Client {
    fn state(&self) -> State {
        if self.is_connected() { State::Connected } else { State::Closed }
    }

    fn traffic(&self) -> Traffic {
        Client::traffic(self)
    }

    fn capabilities(&self) -> Vec<String> {
        match Client::capabilities(self) {
            Some(capabilities) => capabilities.to_string().split_whitespace().map(str::to_string).collect(),
            None => vec!["rap/1".to_string()],
        }
    }

    fn descriptor(&self) -> Option<RawFd> {
        Client::descriptor(self)
    }

    fn complete(&mut self, line: &str, cursor: usize, cancel: &Cancel) -> Result<Option<Suggestions>> {
        match Client::complete(self, line, cursor, cancel) {
            Ok((start, words)) => Ok(Some(Suggestions { start, words })),
            Err(error) if error.kind() == Kind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn seek(&mut self, cancel: &Cancel) -> Result<u64> {
        match Client::seek(self) {
            Some(seek) => Ok(seek),
            None => seek_by_command(self, cancel),
        }
    }

    fn push(&mut self, _bytes: &[u8], _cancel: &Cancel) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "Cannot use '=<' to a rap connection."))
    }
}
