//! Guides to tasks that span several items.

#[doc = include_str!("../docs/many_wallets.md")]
#[doc = "\nSee [`Client::with_key`](crate::Client::with_key) and [`FileSlot`](crate::FileSlot)."]
pub mod many_wallets {}

#[doc = include_str!("../docs/storing.md")]
#[doc = "\nSee [`FileSlot`](crate::FileSlot), [`BackupShares::store`](crate::BackupShares::store) and \
         [`StoredShares`](crate::StoredShares)."]
pub mod storing {}

#[doc = include_str!("../docs/unknown.md")]
#[doc = "\nSee [`Outcome`](crate::Outcome), [`Error`](crate::Error) and [`Unreadable`](crate::Unreadable)."]
pub mod unknown {}

#[doc = include_str!("../docs/testing.md")]
#[doc = "\nSee [`Sandbox`](crate::Sandbox) and [`Fault`](crate::Fault)."]
pub mod testing {}

#[doc = include_str!("../docs/transport.md")]
#[doc = "\nSee [`wire`](crate::wire)."]
pub mod transport {}

#[doc = include_str!("../docs/proxies.md")]
#[doc = "\nSee [`ClientBuilder`](crate::ClientBuilder)."]
pub mod proxies {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
