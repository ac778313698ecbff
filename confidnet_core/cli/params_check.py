"""Check params.yaml before DVC reads it, which expands all that it names: python -m confidnet_core.cli.params_check"""

import sys

from confidnet_core.config.params import load_params

if __name__ == "__main__":
    try:
        load_params(check_entries=False)
    except ValueError as error:
        sys.exit(str(error))
