//! Sans-io codecs.

pub mod rap;
pub mod rap2;
pub mod rsp;
