//! Seek history: undo and redo of places.

/// Places the client was at.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Older places, oldest first.
    pub undo: Vec<u64>,
    /// Places undone, nearest last.
    pub redo: Vec<u64>,
}

impl super::View {
    /// Moves to `address` and remembers where it was (at most 63 places back, `cfg.seek.histsize`).
    pub fn jump(&mut self, address: u64) {
        if address != self.seek {
            self.history.undo.push(self.seek);
            if self.history.undo.len() > 63 {
                self.history.undo.remove(0);
            }
            self.history.redo.clear();
        }
        self.seek = address;
    }
}
