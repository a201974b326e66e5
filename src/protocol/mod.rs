//! Sans-io codecs.

pub mod rap;
