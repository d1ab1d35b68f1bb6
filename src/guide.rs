//! Guides to tasks that span several items.

/// The guides of the folder `docs`. Links between them lead to each other's pages here, and to files there.
macro_rules! guides {
    ($($name:ident)*) => {$(
        #[doc = "[encrypting]: crate::guide::encrypting\n[logging]: crate::guide::logging\n\
                 [proxies]: crate::guide::proxies\n[storing]: crate::guide::storing\n\
                 [transport]: crate::guide::transport\n[unknown]: crate::guide::unknown\n\
                 [embedded]: crate::guide::embedded\n"]
        #[doc = include_str!(concat!("../docs/", stringify!($name), ".md"))]
        pub mod $name {}
    )*};
}

guides! {
    storing encrypting restoring unknown many_wallets build_scripts testing logging proxies embedded transport
    command_line platforms
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
