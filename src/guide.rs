//! Guides: how to do what a page of reference cannot tell.

#[doc = include_str!("../docs/storing.md")]
pub mod storing {}

#[doc = include_str!("../docs/unknown.md")]
pub mod unknown {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/transport.md")]
pub mod transport {}
