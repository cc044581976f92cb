"""The operator: XR device, retargeting and the recorder of demonstrations."""
