//! Sans-io codecs.
