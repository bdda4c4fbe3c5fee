"""Hooks, for `custom_hooks` of a config."""

from .exact_resume_hook import ExactResumeHook

__all__ = ['ExactResumeHook']
