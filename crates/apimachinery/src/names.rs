//! Syntax of names: DNS labels and subdomains, qualified names, label values, generated names.

use rand::RngCore;

/// Messages for a name that isn't a DNS-1123 label; none means that it is valid.
pub fn dns1123_label(_text: &str) -> Vec<String> {
    unimplemented!()
}
/// Messages for a name that isn't a DNS-1123 subdomain.
pub fn dns1123_subdomain(_text: &str) -> Vec<String> {
    unimplemented!()
}
/// Messages for a name that isn't a DNS-1035 label.
pub fn dns1035_label(_text: &str) -> Vec<String> {
    unimplemented!()
}
/// Messages for a text that isn't a qualified name (`[prefix/]name`), the syntax of label keys and finalizers.
pub fn qualified_name(_text: &str) -> Vec<String> {
    unimplemented!()
}
/// Messages for a text that isn't a label value.
pub fn label_value(_text: &str) -> Vec<String> {
    unimplemented!()
}
/// Appends five random characters to a prefix, cut so that the result has at most 63 bytes.
pub fn generate_name(_prefix: &str, _random: &mut dyn RngCore) -> String {
    unimplemented!()
}
