"""Addresses of servers and databases without what is secret in them: user names, passwords, and tokens in queries.

What is printed, stored or tagged is passed through `without_secrets` first. A password may hold "/", "@", "?" or blanks, so the end of it
cannot be seen in a text: where the address itself is known, its parts are replaced literally.
"""

import os
import re
from urllib.parse import unquote

ADDRESS_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
SECRET_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
HIDDEN = "..."
MIN_SECRET_LENGTH = 3  # a shorter one, replaced everywhere, would leave no readable text
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][\w+.\-]*)://(?P<rest>[^\s'\"<>]*)")
# An address whose "://" is mistyped or missing, as http:/user:password@host; group 1 follows what stands in its place.
_MISTYPED = re.compile(r"(?:[A-Za-z][\w+.\-]*:?/{1,3})?([^/@:\s]*:(?!/).*@.*)")
_QUERY = re.compile(r"\?[^\s'\"<>]*=[^\s'\"<>]*")


def without_secrets(text: str, *addresses: str) -> str:
    """Return a text without user names, passwords and queries of the addresses in it.

    addresses: some that may be in the text, whole or in parts, beside those of MLflow's environment variables
    """
    known_addresses = [*addresses, *(os.environ.get(name, "").strip() for name in ADDRESS_VARIABLES)]
    for address in sorted(filter(None, known_addresses), key=len, reverse=True):
        text = text.replace(address, address_without_secrets(address))
    secrets = {secret for address in known_addresses for secret in _secrets_of(address)}
    secrets |= {os.environ.get(name, "") for name in SECRET_VARIABLES}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_LENGTH:
            text = text.replace(secret, HIDDEN)
    text = _ADDRESS.sub(lambda match: address_without_secrets(match[0]), text)
    return _QUERY.sub("", text)


def address_without_secrets(address: str) -> str:
    """Return an address without user name and password, query and fragment; a path, and any other text without these, as it is.

    Where "?" or "#" stands before "@", it may belong to a password or begin a query with "@" in it: then only the scheme is shown.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return HIDDEN + address.rpartition("@")[2] if _MISTYPED.fullmatch(address) else address
    credentials, host_and_path = _split_credentials(rest)
    shown = HIDDEN if re.search("[?#]", credentials) else re.split("[?#]", host_and_path)[0]
    return f"{scheme}://{shown}"


def has_credentials(address: str) -> bool:
    """Return whether an address holds a user name or a password."""
    return bool(_split_credentials(address.partition("://")[2])[0])


def _split_credentials(rest: str) -> tuple[str, str]:
    """Return what stands before the host of an address, and the other part; the password may hold any character."""
    if rest.startswith("/"):  # file:///path and sqlite:///path have no host
        return "", rest
    credentials, _, host_and_path = rest.rpartition("@")
    return credentials, host_and_path


def _secrets_of(address: str) -> set[str]:
    """Return the credentials of an address and the values of its query, as written and decoded, whole and in the pieces that libraries cut.

    Where a password holds "/" or "@", they take what follows for the host, or what precedes for the port, and print that.
    """
    _, separator, rest = address.partition("://")
    if not separator and (mistyped := _MISTYPED.fullmatch(address)):
        separator, rest = "://", mistyped[1]
    if not separator or rest.startswith("/"):
        return set()
    credentials, _ = _split_credentials(rest)
    cuts = [match.start() for match in re.finditer("[/@?#:]", credentials)]
    tails = {f"{credentials[cut + 1 :]}@" for cut in cuts} | ({f"{credentials}@"} if credentials else set())
    values = {pair.partition("=")[2] for pair in re.split("[&;#]", rest.partition("?")[2])}
    pieces = {credentials, *(credentials[:cut] for cut in cuts), *re.split("[/@?#:]", credentials.partition(":")[2]), *values}
    return tails | pieces | {unquote(piece) for piece in pieces}
