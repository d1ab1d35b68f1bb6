//! Guides to tasks that span several items.

/// A guide of the folder `docs`. Links between them lead to each other's pages here, and to files there.
macro_rules! guide {
    ($name:ident, $file:literal) => {
        #[doc = "[encrypting]: crate::guide::encrypting\n[logging]: crate::guide::logging\n\
                 [proxies]: crate::guide::proxies\n[storing]: crate::guide::storing\n\
                 [transport]: crate::guide::transport\n[unknown]: crate::guide::unknown\n\
                 [embedded]: crate::guide::embedded\n"]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

guide!(storing, "../docs/storing.md");
guide!(encrypting, "../docs/encrypting.md");
guide!(restoring, "../docs/restoring.md");
guide!(unknown, "../docs/unknown.md");
guide!(many_wallets, "../docs/many_wallets.md");
guide!(build_scripts, "../docs/build_scripts.md");
guide!(testing, "../docs/testing.md");
guide!(logging, "../docs/logging.md");
guide!(proxies, "../docs/proxies.md");
guide!(embedded, "../docs/embedded.md");
guide!(transport, "../docs/transport.md");
guide!(command_line, "../docs/command_line.md");
guide!(platforms, "../docs/platforms.md");

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
