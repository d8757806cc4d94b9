//! What people look at: incidents and failed requests as HTML, for the page of `why502 run` and for the file of
//! `why502 explain --html`.
//!
//! Only makes text: it reads no clock, opens nothing and knows nothing of HTTP. Every word of a log goes through
//! [`printable`](crate::read::text::printable) and is then escaped by the templates. No element has a style or a script of
//! its own, so that a browser can be told to run none; what is drawn is SVG with classes. Without JavaScript every page is
//! the whole of what it says: lists, tables and links.

mod axis;
pub mod document;
pub mod incident;
pub mod now;
pub mod parts;
pub mod rate;
pub mod request;
pub mod rows;
pub mod search;
pub mod spans;
pub mod words;
