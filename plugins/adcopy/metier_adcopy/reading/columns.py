"""What the columns of a catalogue are called, in English and Chinese, and the fact each becomes."""

from __future__ import annotations

import re
import unicodedata

_SYNONYMS: dict[str, str] = {
    "name": "name title product_name product_title item item_name productname "
    "商品名 商品名称 产品名 产品名称 名称 品名 标题 商品标题 宝贝标题 商品",
    "brand": "brand brand_name manufacturer maker vendor label 品牌 品牌名 品牌名称 厂商 生产商",
    "price": "price unit_price retail_price list_price rrp msrp regular_price 价格 售价 单价 定价 零售价 价钱",
    "sale price": "sale_price special_price offer_price 促销价 活动价 折后价",
    "colour": "color colour colors colours colourway 颜色 色彩 颜色分类",
    "material": "material materials fabric composition 材质 材料 面料 成分 质地",
    "size": "size sizes dimensions dimension measurements 尺寸 尺码 规格 大小 码数",
    "weight": "weight net_weight 重量 净重 净含量",
    "capacity": "capacity volume 容量 体积",
    "pattern": "pattern print 图案 花色",
    "type": "type category product_type product_category 类别 类目 分类 品类 商品类型",
    "style": "style 风格 款式",
    "gender": "gender sex 性别 适用性别",
    "age group": "age_group age 年龄段 适用年龄 适合年龄",
    "origin": "origin country_of_origin made_in country 产地 原产地 原产国",
    "warranty": "warranty guarantee 质保 保修 质保期",
    "features": "features feature highlights key_features bullet_points selling_points 特点 卖点 功能 亮点",
    "flavour": "flavor flavour taste 口味 味道",
    "model": "model model_number 型号",
    "description": "description desc product_description body body_html long_description short_description "
    "copy text summary "
    "描述 商品描述 产品描述 详情 商品详情 简介 文案 介绍 商品介绍 广告文案",
    "audience": "audience target_audience target 受众 目标人群 适用人群",
    "tone": "tone voice tone_of_voice 语气 风格语气",
    "max_chars": "max_chars character_limit max_length 字数上限 字数限制",
}  # fmt: skip
_ROLE = {spelling: role for role, spellings in _SYNONYMS.items() for spelling in spellings.split()}

# What identifies or handles an article but never belongs into its copy.
_SILENT = frozenset(
    [
        "id", "sku", "gtin", "ean", "upc", "mpn", "isbn", "asin", "barcode", "link", "url", "image",
        "image_link", "image_url", "images", "picture", "photo", "availability", "stock", "quantity",
        "inventory", "shipping", "tax", "identifier_exists", "handle", "published", "status", "created",
        "updated", "created_at", "updated_at", "row", "index", "编号", "序号", "货号", "条码", "链接", "图片",
        "库存", "数量", "主图", "上架时间", "状态", "cost", "cost_per_item", "purchase_price", "wholesale_price", "vat",
        "tax_class", "tax_status", "in_stock?", "in_stock", "published?", "is_featured?", "visibility_in_catalog",
        "tags",
        "position", "parent", "meta", "商家编码", "商品编码", "条形码", "进价", "成本", "成本价", "采购价", "运费模板",
        "税率",
        "上架状态", "是否上架", "销量", "仓库", "供应商", "sku编码", "spu", "宝贝id", "商品id", "类目id",
    ]
)  # fmt: skip


_SILENT_ENDS = (
    "_id", "_url", "_link", "_sku", "_qty", "_src", "编码", "编号", "链接", "图片", "库存", "成本", "进价",
)  # fmt: skip
_SILENT_STARTS = ("meta:", "meta_", "seo_", "inventory_", "stock_", "tax_", "image_", "cost_", "库存", "成本", "进价")


def role_of(header: str) -> str | None:
    """The fact a column becomes; None for one that stays out. An unknown header is a fact under its own name."""
    plain = re.sub(r"[\s\-./]+", "_", unicodedata.normalize("NFKC", header).strip().casefold()).strip("_*:：")
    bare = re.sub(r"[(（][^)）]*[)）]", "", plain).strip("_")  # 价格（元） is 价格.
    for spelling in (plain, bare):
        if spelling in _ROLE:
            return _ROLE[spelling]
        if spelling in _SILENT or spelling.endswith(_SILENT_ENDS) or spelling.startswith(_SILENT_STARTS):
            return None
    return " ".join(header.replace("_", " ").split()) or None


def unit_of(header: str) -> str | None:
    """What a header holds in brackets, which is usually the unit: `价格（元）` → 元, `weight (g)` → g."""
    found = re.search(r"[(（]([^()（）]{1,8})[)）]\s*$", header)
    return found[1].strip() if found else None


def label_of(role: str, header: str) -> str:
    """The key a fact is written under: the role, or the header's own word where that is Chinese."""
    own = re.sub(r"[(（][^)）]*[)）]", "", header).strip()
    return own if re.search(r"[\u3400-\u9fff]", own) else role
