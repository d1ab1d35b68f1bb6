//! What every public type is, and what no secret may be: settled when this compiles.

use std::fmt::Display;
use std::panic::{RefUnwindSafe, UnwindSafe};

use portal_backup::wire::{Body, Failure, Request};
use portal_backup::{
    ApiKey, BackupShares, Error, GenerateResponse, InvalidInput, MpcErrorResponse, MpcShare, Outcome, SecretBytes,
    ShareForm, StoredShares, Unreadable,
};
#[cfg(feature = "client")]
use portal_backup::{Client, ClientBuilder, FileSlot, StoreError, TransportError, TransportErrorKind};
#[cfg(feature = "sandbox")]
use portal_backup::{Fault, Sandbox, SeenRequest};

macro_rules! assert_impl {
    ($bound:path: $($type:ty),+) => {
        const _: () = {
            const fn assert<T: ?Sized + $bound>() {}
            $(assert::<$type>();)+
        };
    };
}

/// Does not compile if one of the types has the trait: then `FOUND` could be either of two.
macro_rules! assert_not_impl {
    ($bound:path: $($type:ty),+) => {
        $(const _: () = {
            trait Check<Which> {
                const FOUND: () = ();
            }
            struct Has;
            impl<T: ?Sized> Check<()> for T {}
            impl<T: ?Sized + $bound> Check<Has> for T {}
            <$type as Check<_>>::FOUND
        };)+
    };
}

macro_rules! plain_types {
    ($check:ident: $bound:path) => {
        $check!($bound: ApiKey, BackupShares, Failure, GenerateResponse<'static>, InvalidInput, MpcErrorResponse);
        $check!($bound: MpcShare<'static>, Outcome, Request, SecretBytes, ShareForm, StoredShares, Unreadable);
    };
}

macro_rules! all_types {
    ($check:ident: $bound:path) => {
        plain_types!($check: $bound);
        $check!($bound: Error);
        #[cfg(feature = "client")]
        $check!($bound: Client, ClientBuilder, FileSlot, StoreError, TransportError, TransportErrorKind);
        #[cfg(feature = "sandbox")]
        $check!($bound: Sandbox, Fault, SeenRequest);
    };
}

all_types!(assert_impl: Send);
all_types!(assert_impl: Sync);
all_types!(assert_impl: Unpin);

// A panic elsewhere leaves nothing of ours half done. A client shares connections, which is not for us to say.
plain_types!(assert_impl: UnwindSafe);
plain_types!(assert_impl: RefUnwindSafe);

all_types!(assert_impl: std::fmt::Debug);

macro_rules! secret_types {
    ($check:ident: $bound:path) => {
        $check!($bound: ApiKey, BackupShares, GenerateResponse<'static>, Request, SecretBytes);
        #[cfg(feature = "client")]
        $check!($bound: Client, ClientBuilder, FileSlot);
    };
}

// There is one door to a secret, and its name says so.
secret_types!(assert_not_impl: Display);
secret_types!(assert_not_impl: serde::Serialize);
secret_types!(assert_not_impl: serde::de::DeserializeOwned);
secret_types!(assert_not_impl: AsRef<str>);
secret_types!(assert_not_impl: AsRef<[u8]>);
secret_types!(assert_not_impl: std::ops::Deref);
secret_types!(assert_not_impl: PartialEq);
assert_not_impl!(Clone: ApiKey, BackupShares, GenerateResponse<'static>, Request, SecretBytes, Unreadable);
assert_not_impl!(serde::Serialize: Body<'static>, MpcShare<'static>, Unreadable, Failure);
assert_not_impl!(Display: MpcShare<'static>);
#[cfg(feature = "client")]
assert_not_impl!(Clone: ClientBuilder, FileSlot);

// Copies share what they show.
assert_impl!(Copy: MpcShare<'static>, Outcome, ShareForm);
assert_impl!(Clone: StoredShares, MpcErrorResponse);
#[cfg(feature = "client")]
assert_impl!(Clone: Client);

// Only storing, or the word of somebody who saw the shares stored, makes stored shares.
assert_not_impl!(Default: StoredShares);
assert_not_impl!(From<BackupShares>: StoredShares);
assert_not_impl!(From<&'static BackupShares>: StoredShares);
assert_not_impl!(From<[&'static str; 2]>: StoredShares);
assert_not_impl!(From<[String; 2]>: StoredShares);
// Serialized, it may wait in a queue between storing and confirming.
assert_impl!(serde::de::DeserializeOwned: StoredShares);
assert_impl!(serde::Serialize: Error, Outcome, StoredShares);
assert_not_impl!(std::ops::Deref<Target = StoredShares>: BackupShares);
assert_not_impl!(AsRef<StoredShares>: BackupShares);
assert_not_impl!(std::borrow::Borrow<StoredShares>: BackupShares);

/// `confirm` takes what was stored and nothing else.
#[cfg(feature = "client")]
const _: fn(&Client, &StoredShares) -> Result<(), Error> = Client::confirm;

assert_impl!(std::error::Error: Error, Failure, InvalidInput, Unreadable);
#[cfg(feature = "client")]
assert_impl!(std::error::Error: StoreError, TransportError);

#[test]
fn an_error_is_small_enough_to_be_returned() {
    let size = size_of::<Error>();
    assert!(size <= 72, "{size}");
    let size = size_of::<Failure>();
    assert!(size <= 72, "{size}");
}
