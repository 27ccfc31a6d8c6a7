"""The trade's own files, read into samples: one file an adapter, tried in this order."""

from __future__ import annotations

from metier.contracts import DataAdapter
from metier_adcopy.reading.catalogue import Catalogue
from metier_adcopy.reading.meaning import MeaningRepresentations
from metier_adcopy.reading.merchant_table import MerchantTable
from metier_adcopy.reading.merchant_xml import MerchantXml

# A catalogue accepts almost any table, so that it comes last.
ADAPTERS: tuple[DataAdapter, ...] = (MeaningRepresentations(), MerchantXml(), MerchantTable(), Catalogue())

__all__ = ["ADAPTERS", "Catalogue", "MeaningRepresentations", "MerchantTable", "MerchantXml"]
