"""The demo: one config, its loss entry changed, several seeds.

`runs` trains, `progress` shows how far it is, `results` measures, `figures`
draws. `tools/demo.py` puts them together.
"""
