//! Authentication: who is asking.

pub mod user;

pub use user::UserInfo;
