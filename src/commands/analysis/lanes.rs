//! Arrows for jumps beside a listing.

use std::collections::HashMap;

/// Columns between the bar of a function and the address: lines, an arrow head, a blank.
pub const WIDTH: usize = 11;
/// How many lines stand side by side.
const LANES: usize = 4;

/// A jump from one row of a listing to another.
struct Arrow {
    from: usize,
    to: usize,
    lane: usize,
}

/// The arrows of a listing.
#[derive(Default)]
pub struct Arrows(Vec<Arrow>);

impl Arrows {
    /// Arrows for the jumps (address of the jump, where it leads) between the rows at `addresses`. The shortest lie
    /// nearest to the code; those that find no room are left out.
    pub fn new(addresses: &[u64], jumps: &[(u64, u64)]) -> Arrows {
        let rows: HashMap<u64, usize> = addresses.iter().enumerate().map(|(row, address)| (*address, row)).collect();
        let row = |address: &u64| rows.get(address).copied();
        let mut wanted: Vec<(usize, usize)> = jumps
            .iter()
            .filter_map(|(from, to)| Some((row(from)?, row(to)?)))
            .filter(|(from, to)| from != to)
            .collect();
        wanted.sort_by_key(|(from, to)| from.abs_diff(*to));
        // For each lane, which rows are taken.
        let mut taken = vec![[false; LANES]; addresses.len()];
        let mut arrows = Vec::new();
        for (from, to) in wanted {
            let rows = from.min(to)..=from.max(to);
            let free = |lane: &usize| rows.clone().all(|row| !taken[row][*lane]);
            if let Some(lane) = (0..LANES).find(free) {
                rows.for_each(|row| taken[row][lane] = true);
                arrows.push(Arrow { from, to, lane });
            }
        }
        Arrows(arrows)
    }

    /// What stands beside `row`; `between`: beside a line that stands above it.
    pub fn at(&self, row: usize, between: bool) -> String {
        let mut cells = [b' '; WIDTH];
        let column = |lane: usize| 7 - 2 * lane;
        for arrow in &self.0 {
            let (first, last) = (arrow.from.min(arrow.to), arrow.from.max(arrow.to));
            if (first < row && row < last) || (between && row == last) {
                cells[column(arrow.lane)] = b'|';
            }
        }
        if between {
            return String::from_utf8_lossy(&cells).into_owned();
        }
        for arrow in &self.0 {
            let (here, dash, head) = match () {
                () if arrow.from == row => (true, b'=', b'<'),
                () if arrow.to == row => (true, b'-', b'>'),
                () => (false, b' ', b' '),
            };
            if !here {
                continue;
            }
            let starts = arrow.from.min(arrow.to) == row;
            let corner = match (starts, arrow.from == row) {
                (true, true) => b',',
                (true, false) => b'.',
                (false, _) => b'`',
            };
            let at = column(arrow.lane);
            cells[at] = corner;
            for cell in &mut cells[at + 1..9] {
                if *cell == b' ' {
                    *cell = dash;
                }
            }
            cells[9] = if cells[9] == b'>' { b'>' } else { head };
        }
        String::from_utf8_lossy(&cells).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_arrows_lie_inside_long_ones() {
        // 0 -> 4 forward, 1 -> 2 forward, 5 -> 3 back.
        let arrows = Arrows::new(&[0, 1, 2, 3, 4, 5], &[(0, 4), (1, 2), (5, 3), (9, 1)]);
        let rows: Vec<String> = (0..6).map(|row| arrows.at(row, false)).collect();
        assert_eq!(rows, ["     ,===< ", "     | ,=< ", "     | `-> ", "     | .-> ", "     `-|-> ", "       `=< "]);
        assert_eq!(arrows.at(2, true), "     | |   ");
    }
}
