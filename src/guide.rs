//! Guides to tasks that span several items.

#[doc = include_str!("../docs/storing.md")]
pub mod storing {}

#[doc = include_str!("../docs/unknown.md")]
pub mod unknown {}

#[doc = include_str!("../docs/many_wallets.md")]
pub mod many_wallets {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../docs/transport.md")]
pub mod transport {}

#[doc = include_str!("../docs/proxies.md")]
pub mod proxies {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
