//! stub
pub(super) struct NoProxy;
impl NoProxy {
    pub(super) fn parse(_: &str) -> Self {
        Self
    }
    pub(super) fn covers(&self, _: &str, _: u16) -> bool {
        false
    }
}
