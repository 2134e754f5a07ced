"""Edges of a model, on hooks alone: what each part writes to the residual stream, what each part reads of it, and the two cut apart.

`parts` finds which modules read and write and proves it, `written` keeps what is written, `catching` takes gradients at what is read,
and `patching` lets readers hear chosen writers as another run had them.
"""
