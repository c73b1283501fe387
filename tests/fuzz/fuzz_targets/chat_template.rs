//! Renders any text as a chat template.
#![no_main]

use eyas_core::{Message, Role};
use eyas_text::{ChatTemplate, RenderOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source) else { return };
    let messages = [Message::new(Role::System, "be brief"), Message::user("hi")];
    let options = RenderOptions { bos_token: Some("<s>".into()), now: Some(1_725_364_800), ..RenderOptions::default() };
    let _ = template.render(&messages, &options);
});
