//! The arrows beside a listing: from each jump to its target, when both are in the window.

use crate::disasm::Instruction;

/// Most arrows beside each other.
const LEVELS: u32 = 8;

/// What arrows do at one row. Bit n of a mask is the arrow at level n; level 0 is next to the addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    /// Pass by.
    passing: u8,
    /// Those of all that go up.
    back: u8,
    /// Have their upper end here.
    top: u8,
    /// Have their lower end here.
    bottom: u8,
    /// Come from here.
    source: u8,
    /// Lead here.
    target: u8,
}

/// The arrows of a window.
#[derive(Debug, Default)]
pub struct Arrows {
    rows: Vec<Row>,
    jumps: Vec<(usize, usize)>,
}

impl Arrows {
    /// Finds the arrows between `instructions` and gives each a level, the short ones the nearest.
    pub fn find(&mut self, instructions: &[Instruction], levels: usize) {
        self.rows.clear();
        self.rows.resize(instructions.len(), Row::default());
        self.jumps.clear();
        let (Some(first), Some(last)) = (instructions.first(), instructions.last()) else { return };
        for (source, instruction) in instructions.iter().enumerate() {
            let Some(target) = instruction.jump.filter(|_| instruction.kind.is_jump()) else { continue };
            if target < first.address || target > last.address || target == instruction.address {
                continue;
            }
            if let Ok(target) = instructions.binary_search_by_key(&target, |instruction| instruction.address) {
                self.jumps.push((source, target));
            }
        }
        self.jumps.sort_by_key(|(source, target)| (source.abs_diff(*target), *source));
        for (source, target) in &self.jumps {
            let (low, high) = (*source.min(target), *source.max(target));
            let taken = self.rows[low..=high].iter().fold(0, |taken, row| taken | row.passing | row.top | row.bottom);
            let level = taken.trailing_ones();
            if level >= LEVELS.min(levels as u32) {
                continue;
            }
            let bit = 1u8 << level;
            for row in &mut self.rows[low..=high] {
                if source > target {
                    row.back |= bit;
                }
            }
            for row in &mut self.rows[low + 1..high] {
                row.passing |= bit;
            }
            self.rows[low].top |= bit;
            self.rows[high].bottom |= bit;
            self.rows[*source].source |= bit;
            self.rows[*target].target |= bit;
        }
    }

    /// Draws row `index` into `into`: `levels` columns and the head of the arrow.
    pub fn draw(&self, index: usize, levels: usize, utf8: bool, into: &mut String) {
        let row = self.rows.get(index).copied().unwrap_or_default();
        if row == Row::default() {
            (0..levels + 2).for_each(|_| into.push(' '));
            return;
        }
        let highest = |mask: u8| u8::BITS - mask.leading_zeros();
        let (source, target) = (highest(row.source), highest(row.target));
        for level in (0..levels as u32).rev() {
            let bit = 1u8.checked_shl(level).unwrap_or(0);
            into.push(glyph(
                match () {
                    () if row.top & bit != 0 && row.back & bit != 0 => '.',
                    () if row.top & bit != 0 => ',',
                    () if row.bottom & bit != 0 => '`',
                    () if level < source => '=',
                    () if level < target => '-',
                    () if row.passing & row.back & bit != 0 => ':',
                    () if row.passing & bit != 0 => '|',
                    () => ' ',
                },
                utf8,
            ));
        }
        let (shaft, head) = match () {
            () if target > 0 => ('-', '>'),
            () if source > 0 => ('=', '<'),
            () => (' ', ' '),
        };
        into.push(glyph(shaft, utf8));
        into.push(head);
    }

    /// Draws what passes by above row `index`, for the lines before an instruction.
    pub fn draw_above(&self, index: usize, levels: usize, utf8: bool, into: &mut String) {
        let row = self.rows.get(index).copied().unwrap_or_default();
        let through = row.passing | row.bottom;
        for level in (0..levels as u32).rev() {
            let bit = 1u8.checked_shl(level).unwrap_or(0);
            into.push(glyph(
                match () {
                    () if through & row.back & bit != 0 => ':',
                    () if through & bit != 0 => '|',
                    () => ' ',
                },
                utf8,
            ));
        }
        into.push_str("  ");
    }
}

/// The same stroke as a box character.
pub fn glyph(ascii: char, utf8: bool) -> char {
    match (utf8, ascii) {
        (false, c) => c,
        (true, '|') => '│',
        (true, ':') => '╎',
        (true, ',' | '.' | '/') => '┌',
        (true, '`' | '\\') => '└',
        (true, '=' | '-') => '─',
        (true, c) => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disasm::Kind;

    fn drawn(jumps: &[(u64, u64)], rows: u64) -> Vec<String> {
        let instructions: Vec<Instruction> = (0..rows)
            .map(|address| {
                let jump = jumps.iter().find(|(source, _)| *source == address).map(|(_, target)| *target);
                Instruction { address, kind: Kind::Cjmp, jump, ..Instruction::default() }
            })
            .collect();
        let mut arrows = Arrows::default();
        arrows.find(&instructions, 4);
        let draw = |index| {
            let mut line = String::new();
            arrows.draw(index, 4, false, &mut line);
            line
        };
        (0..rows as usize).map(draw).collect()
    }

    #[test]
    fn arrows_go_down_and_up_and_nest() {
        assert_eq!(drawn(&[(0, 2)], 3), ["   ,=<", "   |  ", "   `->"]);
        assert_eq!(drawn(&[(2, 0)], 3), ["   .->", "   :  ", "   `=<"]);
        assert_eq!(drawn(&[(0, 3), (1, 2)], 4), ["  ,==<", "  |,=<", "  |`->", "  `-->"]);
        assert_eq!(drawn(&[(0, 3), (1, 3)], 4), ["  ,==<", "  |,=<", "  ||  ", "  ``->"]);
    }

    #[test]
    fn what_leads_out_of_the_window_or_to_itself_has_no_arrow() {
        assert_eq!(drawn(&[(0, 9), (1, 1)], 2), ["      ", "      "]);
    }

    #[test]
    fn more_arrows_than_columns_are_left_out() {
        let jumps: Vec<(u64, u64)> = (0..10).map(|at| (at, 30 - at)).collect();
        assert_eq!(drawn(&jumps, 31)[15], "||||  ");
    }
}
