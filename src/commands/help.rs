//! `?` after any name: help pages, made from the declarations.
