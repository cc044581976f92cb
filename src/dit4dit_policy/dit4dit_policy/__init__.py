"""The DiT4DiT video-action model: inference, training, evaluation and the policy node."""
