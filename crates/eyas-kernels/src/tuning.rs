//! How kernels are cut into workgroups on a device.

/// Sizes that suit a device; they change speed, never results beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Threads that share one output row of a matrix·vector product; a power of two.
    pub matvec_lanes: u32,
    /// Output rows of a workgroup in a matrix·vector product.
    pub matvec_rows: u32,
    /// Tokens that a thread of a matrix·matrix product computes for its row.
    pub matmul_tokens: u32,
    /// Threads of a workgroup in attention and normalisation; a power of two.
    pub reduce_lanes: u32,
}

impl Tuning {
    /// For hardware where a workgroup barrier is cheap.
    pub const HARDWARE: Self = Self { matvec_lanes: 32, matvec_rows: 2, matmul_tokens: 8, reduce_lanes: 64 };
    /// For software adapters, where a barrier costs more than the arithmetic it saves (17.5 ms against 2.1 ms for a 576×576 product).
    pub const SOFTWARE: Self = Self { matvec_lanes: 1, matvec_rows: 4, matmul_tokens: 8, reduce_lanes: 4 };
}
