//! What does a line prove? Envelope, format, evidence; and what nginx's own configuration says. Pure: no clock, file,
//! socket, lock, log or async.
//!
//! ```text
//!  bytes of a line ──► envelope ──► formats ──► Evidence ──► the engine, which never sees a line
//!                      peeled until it is bare   one file and one row a format
//! ```
//!
//! It knows nothing of requests, verdicts and spans, and keeps no state but the memory of a stream
//! ([`formats::SourceMemory`]), which its caller owns and may lose.

pub mod address;
pub mod envelope;
pub mod evidence;
pub mod formats;
pub mod maps;
pub mod nginx_conf;
pub mod text;
pub mod time;

pub mod sniff;

mod wanted;

pub use wanted::Wanted;
