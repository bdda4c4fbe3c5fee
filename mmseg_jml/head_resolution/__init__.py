"""Losses and predictions of mmseg's heads without full-size logits."""
