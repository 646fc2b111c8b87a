"""Which controls need a licence that is not there, by the licensed services that Microsoft names with a day. Pure.

Which product a control belongs to is an assignment of ours. The list of services alone proves little (tenants have
points in products that it does not name), so a control counts as unlicensed only where the list names none of the
product's licences and no control of that product has a single point. Prices, plans and bundles are not known here.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from attrs import frozen

from connector.model import Day, Profile

EVERYTHING = "HasM365E5"
"""The bundle that brings all of them."""


@frozen
class Product:
    """A product by the services of its controls and by globs of their ids. Any of `licences` unlocks it."""

    name: str
    licences: tuple[str, ...]
    services: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


PRODUCTS = (
    Product("Defender for Identity", ("HasAATP",), services=("Azure ATP",)),
    Product("Defender for Endpoint", ("HasMDEP1", "HasMDEP2", "HasMDB"), services=("MDATP",), ids=("scid_*",)),
    Product("Defender for Cloud Apps", ("HasMCAS", "HasOCAS"), services=("MCAS", "AppG"), ids=("MDA_*", "*.MDA_*")),
    Product(
        "Defender for Office 365",
        ("HasMDOP1", "HasMDOP2"),
        ids=(
            *("mdo_safelinks*", "mdo_safeattach*", "mdo_safedocuments", "mdo_atpprotection", "mdo_targeted*"),
            *("mdo_*mailboxintelligence*", "mdo_enabledomainstoprotect", "mdo_phishthresholdlevel"),
            *("mdo_similardomainssafetytips", "mdo_similaruserssafetytips", "mdo_unusualcharacterssafetytips"),
        ),
    ),
    Product("Entra ID P2", ("HasAADP2",), ids=("SigninRiskPolicy", "UserRiskPolicy")),
    Product("Purview Information Protection", ("HasAIPP1", "HasAIPP2"), ids=("mip_*label*",)),
    Product("Customer Lockbox", ("HasCLB",), ids=("CustomerLockBoxEnabled",)),
)


def missing(day: Day, profiles: Mapping[str, Profile]) -> dict[str, tuple[str, ...]]:
    """Control → the licences of which any would do, for those of the day that need one and have none."""
    if not day.services or EVERYTHING in day.services:
        return {}  # an empty list says nothing: no tenant is without any service
    members: dict[Product, list[str]] = {}
    for name in day.controls:
        product = product_of(name, profiles.get(name))
        if product is not None and not set(product.licences) & set(day.services):
            members.setdefault(product, []).append(name)
    found = {}
    for product, names in members.items():
        if all((day.controls[name].score or 0.0) <= 0 for name in names):
            found.update(dict.fromkeys(names, product.licences))
    return found


def product_of(name: str, profile: Profile | None) -> Product | None:
    """The product without which a control cannot have points, where it is one that is bought."""
    service = profile.service if profile is not None else ""
    for product in PRODUCTS:
        if service in product.services or any(fnmatchcase(name, glob) for glob in product.ids):
            return product
    return None
