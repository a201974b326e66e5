//! Sans-io codecs.

pub mod http;
pub mod rap;
pub mod rap2;
pub mod rsp;
