//! What does a line prove? Envelope, format, evidence; and what nginx's own configuration says. Pure: no clock, file,
//! socket, lock, log or async.
//!
//! ```text
//!  bytes ──► sniff ──► peel ──► formats ──► Evidence ──► the engine, which never sees a line
//!            a word    envelope  one file and one row a format
//!            of ours?  and paste
//! ```
//!
//! It knows nothing of requests, verdicts and spans, and keeps no state but the memory of a stream
//! ([`SourceMemory`]), which its caller owns and may lose.

pub mod address;
mod client;
mod envelope;
pub mod evidence;
pub mod formats;
pub mod maps;
mod memory;
pub mod nginx_conf;
pub mod paste;
pub mod peel;
pub mod request_line;
pub mod sniff;
pub mod text;
pub mod time;
mod wanted;

pub use memory::SourceMemory;
pub use wanted::Wanted;
