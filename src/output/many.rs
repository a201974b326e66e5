//! Long lists: all cores render their records, which leave in order.

use std::io;

use rayon::prelude::*;

use super::{Item, Json, Mode, Out, Style, json_error, sink_error};
use crate::error::Result;

/// Records that are rendered at a time by one core.
const CHUNK: usize = 256;

/// Chunks for each core between two looks at the cancel flag.
const ROUND: usize = 8;

impl Out<'_> {
    /// Many records of a list, as [`Out::item`] writes each of them.
    pub fn items<T: Item + Sync>(&mut self, items: &[T]) -> Result<()> {
        if items.len() <= CHUNK {
            return items.iter().try_for_each(|item| self.item(item));
        }
        let (mode, style) = (self.mode, self.style);
        for round in items.chunks(CHUNK * ROUND * rayon::current_num_threads()) {
            self.cancel.check()?;
            let rendered: Vec<Result<Vec<u8>>> =
                round.par_chunks(CHUNK).map(|chunk| rendered(chunk, mode, style)).collect();
            for bytes in rendered {
                let bytes = bytes?;
                if mode == Mode::Json {
                    let head: &[u8] = if self.json == Json::Nothing { b"[" } else { b"," };
                    self.json = Json::List;
                    self.write_all(head)?;
                }
                self.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

/// The records of a chunk, one behind the other.
fn rendered<T: Item>(chunk: &[T], mode: Mode, style: Style) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(chunk.len() * 96);
    for (index, item) in chunk.iter().enumerate() {
        let outcome: io::Result<()> = match mode {
            Mode::Json => {
                if index > 0 {
                    bytes.push(b',');
                }
                serde_json::to_writer(&mut bytes, item).map_err(json_error)?;
                continue;
            }
            Mode::Text => item.text(&mut bytes, style),
            Mode::Quiet => item.quiet(&mut bytes),
            Mode::Commands => item.commands(&mut bytes),
        };
        outcome.map_err(sink_error)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::output::Cancel;

    #[derive(serde::Serialize)]
    struct Number(usize);

    impl Item for Number {
        fn text(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
            writeln!(out, "<{}>", self.0)
        }
        fn quiet(&self, out: &mut dyn Write) -> io::Result<()> {
            writeln!(out, "{}", self.0)
        }
    }

    #[test]
    fn many_records_are_written_as_one_after_the_other() {
        let numbers: Vec<Number> = (0..20_000).map(Number).collect();
        for mode in [Mode::Text, Mode::Json, Mode::Quiet, Mode::Commands] {
            let written = |many: bool| {
                let (mut sink, mut errors) = (Vec::new(), Vec::new());
                let mut out = Out::new(&mut sink, &mut errors, Style::default(), Cancel::new());
                let mut out = out.with_mode(mode);
                out.item(&Number(7)).unwrap();
                if many {
                    out.items(&numbers).unwrap();
                } else {
                    numbers.iter().for_each(|number| out.item(number).unwrap());
                }
                out.finish().unwrap();
                sink
            };
            assert!(written(true) == written(false), "{mode:?}");
        }
    }

    #[test]
    fn a_long_list_ends_when_it_is_asked_to() {
        let (mut sink, mut errors, cancel) = (Vec::new(), Vec::new(), Cancel::new());
        cancel.set();
        let mut out = Out::new(&mut sink, &mut errors, Style::default(), cancel);
        let numbers: Vec<Number> = (0..20_000).map(Number).collect();
        assert_eq!(out.items(&numbers).unwrap_err().kind(), crate::error::Kind::Interrupted);
        assert!(sink.is_empty());
    }
}
