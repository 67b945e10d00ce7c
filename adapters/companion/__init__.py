"""The companion: the guest's border in WebAssembly, and its two ends."""
