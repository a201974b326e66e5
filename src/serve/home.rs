//! A session that clients share with each other, and with the prompt that offers it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::session::{Core, Session, View};

/// What clients share, and the place at which they begin.
#[derive(Default)]
pub struct Home {
    core: Arc<Mutex<Core>>,
    view: Mutex<View>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Home(..)")
    }
}

impl Home {
    /// The core of `session`; clients begin where it is now.
    pub fn of(session: &Session) -> Home {
        let View { seek, block_size, .. } = session.view;
        let view = View { seek, block_size, owner: false, ..View::default() };
        Home { core: session.shared(), view: Mutex::new(view) }
    }

    /// A further client.
    pub fn session(&self) -> Session {
        let mut session = Session::attach(Arc::clone(&self.core));
        session.view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        session
    }

    /// Lets further clients begin where `view` is.
    pub fn settle(&self, view: &View) {
        let view = View { quit: None, remote: None, failed: false, ..view.clone() };
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}
