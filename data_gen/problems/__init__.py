"""Where problems come from: files, the hub, presets, generated arithmetic."""
