//! Seek history: undo and redo of places.

use std::collections::VecDeque;

/// Places the client was at.
#[derive(Debug, Clone)]
pub struct History {
    /// Older places, oldest first.
    pub undo: VecDeque<u64>,
    /// Places undone, nearest last.
    pub redo: Vec<u64>,
    /// How many older places are kept (`cfg.seek.histsize`).
    pub limit: usize,
}

impl Default for History {
    fn default() -> History {
        History { undo: VecDeque::new(), redo: Vec::new(), limit: 63 }
    }
}

impl History {
    /// Remembers `address` as the latest place.
    fn push(&mut self, address: u64) {
        self.undo.push_back(address);
        self.trim();
    }

    /// Drops the oldest places beyond the limit.
    pub fn trim(&mut self) {
        let extra = self.undo.len().saturating_sub(self.limit);
        self.undo.drain(..extra);
    }

    /// Forgets every place.
    pub fn clear(&mut self) {
        self.undo.clear();
        self.redo.clear();
    }
}

impl super::View {
    /// Moves to `address` and remembers where it was. Staying in place is not remembered.
    pub fn jump(&mut self, address: u64) {
        if address != self.seek {
            self.history.push(self.seek);
            self.history.redo.clear();
        }
        self.seek = address;
    }

    /// Goes back to the place before the last jump. Whether there was one.
    pub fn undo_jump(&mut self) -> bool {
        let Some(address) = self.history.undo.pop_back() else { return false };
        self.history.redo.push(self.seek);
        self.seek = address;
        true
    }

    /// Takes the last undo back. Whether there was one.
    pub fn redo_jump(&mut self) -> bool {
        let Some(address) = self.history.redo.pop() else { return false };
        self.history.push(self.seek);
        self.seek = address;
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::session::View;

    #[test]
    fn goes_back_and_forth() {
        let mut view = View::default();
        for address in [0, 0, 1, 2] {
            view.jump(address);
        }
        assert_eq!(view.history.undo, [0, 1]);
        assert!(view.undo_jump() && view.undo_jump() && !view.undo_jump());
        assert_eq!(view.seek, 0);
        assert!(view.redo_jump());
        assert_eq!((view.seek, &view.history.undo, &view.history.redo), (1, &[0].into(), &vec![2]));
        view.jump(9);
        assert!(!view.redo_jump(), "a jump ends the undone future");
    }

    #[test]
    fn keeps_the_newest_places() {
        let mut view = View::default();
        view.history.limit = 3;
        (1..=10).for_each(|address| view.jump(address));
        assert_eq!(view.history.undo, [7, 8, 9]);
        view.history.limit = 0;
        view.jump(11);
        assert!(view.history.undo.is_empty());
    }
}
