//! The interactive prompt: line editing, history, completion.
