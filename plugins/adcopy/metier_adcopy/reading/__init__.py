"""The trade's own files, read into samples: one file an adapter, tried in this order."""

from __future__ import annotations

from metier.contracts import DataAdapter
from metier_adcopy.reading.ads_editor import AdsEditor
from metier_adcopy.reading.catalogue import Catalogue
from metier_adcopy.reading.meaning import MeaningRepresentations
from metier_adcopy.reading.merchant_table import MerchantTable
from metier_adcopy.reading.merchant_xml import MerchantXml
from metier_adcopy.reading.relevance import RelevanceTable
from metier_adcopy.reading.script_table import ScriptTable
from metier_adcopy.reading.shop_exports import Shopify, WooCommerce

# A catalogue accepts almost any table, so that it comes last.
ADAPTERS: tuple[DataAdapter, ...] = (
    MeaningRepresentations(),
    MerchantXml(),
    MerchantTable(),
    AdsEditor(),
    RelevanceTable(),
    ScriptTable(),
    Shopify(),
    WooCommerce(),
    Catalogue(),
)

__all__ = [
    "ADAPTERS",
    "AdsEditor",
    "Catalogue",
    "MeaningRepresentations",
    "MerchantTable",
    "MerchantXml",
    "RelevanceTable",
    "ScriptTable",
    "Shopify",
    "WooCommerce",
]
