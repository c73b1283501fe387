//! Puts a WGSL module together: sizes as constants, buffers as bindings, bodies as they are.

use std::fmt::Write as _;

/// `count` pieces of text, one behind the other.
pub(super) fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(line).collect()
}

/// A WGSL module in the making.
pub(super) struct Wgsl {
    head: String,
    bodies: String,
    bindings: u32,
}

impl Wgsl {
    pub(super) fn new() -> Self {
        Self { head: String::new(), bodies: String::new(), bindings: 0 }
    }

    /// Declares an unsigned constant.
    pub(super) fn size(mut self, name: &str, value: usize) -> Self {
        let _ = writeln!(self.head, "const {name}: u32 = {value}u;");
        self
    }

    /// Declares a float constant.
    pub(super) fn float(mut self, name: &str, value: f32) -> Self {
        let _ = writeln!(self.head, "const {name}: f32 = {value:e}f;");
        self
    }

    /// Declares the next storage buffer. All are `read_write`: slices of one pooled buffer may be bound at once, and WebGPU
    /// refuses a buffer that is both read-only and writable in a dispatch.
    pub(super) fn buffer(mut self, name: &str, element: &str) -> Self {
        let _ = writeln!(self.head, "@group(0) @binding({}) var<storage, read_write> {name}: array<{element}>;", self.bindings);
        self.bindings += 1;
        self
    }

    /// Appends functions.
    pub(super) fn body(mut self, text: &str) -> Self {
        self.bodies.push_str(text);
        self.bodies.push('\n');
        self
    }

    /// The module's text.
    pub(super) fn finish(self) -> String {
        self.head + &self.bodies
    }
}
