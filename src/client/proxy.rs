//! stub
use super::no_proxy::NoProxy;
use crate::invalid_input::InvalidInput;
use crate::secret::SecretBytes;
use alloc::string::String;
pub(super) struct Proxy(String, u16);
impl Proxy {
    pub(super) fn parse(_: &str) -> Result<Self, InvalidInput> {
        Err(InvalidInput::new("stub"))
    }
    pub(super) fn from_env() -> Result<Option<(Self, NoProxy)>, InvalidInput> {
        Ok(None)
    }
    pub(super) fn host(&self) -> &str {
        &self.0
    }
    pub(super) fn port(&self) -> u16 {
        self.1
    }
    pub(super) fn is_tls(&self) -> bool {
        false
    }
    pub(super) fn connect_request(&self, _: &str, _: u16, _: &str) -> SecretBytes {
        SecretBytes::zeroed(0)
    }
    pub(super) fn connect_answer(&self, _: &[u8]) -> Result<Option<usize>, String> {
        Ok(None)
    }
}
impl core::fmt::Display for Proxy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}
