//! Tables as the `i` commands print them: a title, a header as wide as the widest cells, and rows.

use std::borrow::Cow;
use std::io::{self, Write};

use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::output::{Item, Mode, Out, Style};

/// Rows that are measured at a time by one core.
const CHUNK: usize = 1024;

/// A column.
pub struct Column {
    name: &'static str,
    right: bool,
}

/// A column whose cells start at the left.
pub const fn left(name: &'static str) -> Column {
    Column { name, right: false }
}

/// A column whose cells end at the right.
pub const fn right(name: &'static str) -> Column {
    Column { name, right: true }
}

/// What stands over the rows.
pub struct Table {
    /// `Sections`, shown in brackets.
    pub title: &'static str,
    /// Whether an empty line follows the title.
    pub apart: bool,
    /// The columns.
    pub columns: &'static [Column],
}

/// A record that is a row of a table.
pub trait Row: Serialize + Sync {
    /// The text of each column.
    fn cells(&self) -> Vec<Cow<'_, str>>;
    /// Widens `widths` to those of the cells. That of the last column does not matter.
    fn measure(&self, widths: &mut [usize]) {
        for (width, cell) in widths.iter_mut().zip(self.cells()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    /// See [`Item::quiet`].
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()>;
    /// See [`Item::commands`].
    fn commands(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// A row with the widths of its table.
struct Laid<'a, R> {
    row: &'a R,
    table: &'a Table,
    widths: &'a [usize],
}

impl<R: Row> Serialize for Laid<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.row.serialize(serializer)
    }
}

impl<R: Row> Item for Laid<'_, R> {
    fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        line(out, self.table, self.widths, &self.row.cells())
    }
    fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
        self.row.quiet(out)
    }
    fn commands(&self, out: &mut dyn Write) -> io::Result<()> {
        self.row.commands(out)
    }
}

impl Table {
    /// Prints the table with `rows`, which are walked through twice: once for the widths.
    pub fn print<R: Row>(&self, out: &mut Out<'_>, rows: impl Iterator<Item = R>) -> Result<()> {
        let rows: Vec<R> = rows.collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.len()).collect();
        if out.mode() == Mode::Text {
            let none = || vec![0; self.columns.len()];
            let widest = |mut widths: Vec<usize>, more: &[usize]| {
                widths.iter_mut().zip(more).for_each(|(width, more)| *width = (*width).max(*more));
                widths
            };
            let chunks = rows.par_chunks(CHUNK).map(|chunk| {
                chunk.iter().fold(none(), |mut widths, row| {
                    row.measure(&mut widths);
                    widths
                })
            });
            let found = chunks.reduce(none, |one, other| widest(one, &other));
            widths = widest(widths, &found);
            self.head(out, &widths)?;
        }
        let laid: Vec<Laid<'_, R>> = rows.iter().map(|row| Laid { row, table: self, widths: &widths }).collect();
        out.items(&laid)
    }

    fn head(&self, out: &mut Out<'_>, widths: &[usize]) -> Result<()> {
        out.line(format_args!("[{}]", self.title))?;
        if self.apart {
            out.line("")?;
        }
        let names: Vec<Cow<'_, str>> = self.columns.iter().map(|column| column.name.into()).collect();
        let mut header = Vec::new();
        // A vector takes everything.
        let _ = line(&mut header, self, widths, &names);
        out.write_all(&header)?;
        out.line("-".repeat(header.len().saturating_sub(1)))
    }
}

fn line(out: &mut dyn Write, table: &Table, widths: &[usize], cells: &[Cow<'_, str>]) -> io::Result<()> {
    let mut text = String::with_capacity(100);
    for (index, ((column, width), cell)) in table.columns.iter().zip(widths).zip(cells).enumerate() {
        if index > 0 {
            text.push(' ');
        }
        let pad = width.saturating_sub(cell.chars().count());
        if column.right {
            text.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(cell);
        if !column.right {
            text.extend(std::iter::repeat_n(' ', pad));
        }
    }
    let end = text.trim_end().len();
    text.truncate(end);
    text.push('\n');
    out.write_all(text.as_bytes())
}
