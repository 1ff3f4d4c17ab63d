"""The catalogue of number formats: TOML files of facts, installed as the package ``fpsim._formats``."""
