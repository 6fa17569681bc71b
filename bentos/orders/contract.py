"""What an order is: as the shop writes it, as training sees it without personal data, as the service takes it.

Holds types and bounds only. Fields that are personal data carry the mark `PII`, which masking, the prediction log and
the leak tests read. Real dirt of a shop's book is valid here: cancellations (negative quantities), prices of zero,
missing customers, missing descriptions. Refused is what is no order: a stock correction, which the shop writes into the
same book as a document without a customer and without a price; a quantity of zero; a time in the future.

A field without a mark passes masking as it is, so its type must leave no room for a name, a card or a phone number.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bentos.common.contract import Strict, past
from bentos.common.masking import PII

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_LINES = 2_000


def _no_zero_quantity(lines: list[Line]) -> list[Line]:
    # Once per order rather than once per line: a call from pydantic into Python costs more than the whole line.
    for line in lines:
        if line.quantity == 0:
            raise PydanticCustomError("zero_quantity", "must hold no line with a quantity of zero")
    return lines


OrderId = Annotated[str, Field(pattern=r"^[AC]?[0-9]{6,7}$")]
Time = Annotated[AwareDatetime, AfterValidator(past(EARLIEST))]
# An article's number, or one of the words that the shop books postage, discounts, fees and corrections under.
StockCode = Annotated[
    str,
    Field(
        pattern=r"^(?:[0-9]{5}[A-Za-z]{0,2}|DCGS[0-9]{4}[A-Z]?|gift_0001_[0-9]{2}"
        r"|AMAZONFEE|B|BANK CHARGES|C2|CRUK|D|DCGSSBOY|DCGSSGIRL|DOT|M|PADS|POST|S|m)$"
    ),
]
Quantity = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
UnitPrice = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
# The countries in all of Online Retail (UCI, 2010 to 2011), as the shop spells them.
Country = Literal[
    "Australia", "Austria", "Bahrain", "Belgium", "Brazil", "Canada", "Channel Islands", "Cyprus", "Czech Republic",
    "Denmark", "EIRE", "European Community", "Finland", "France", "Germany", "Greece", "Hong Kong", "Iceland", "Israel",
    "Italy", "Japan", "Lebanon", "Lithuania", "Malta", "Netherlands", "Norway", "Poland", "Portugal", "RSA",
    "Saudi Arabia", "Singapore", "Spain", "Sweden", "Switzerland", "USA", "United Arab Emirates", "United Kingdom",
    "Unspecified",
]  # fmt: skip
COUNTRIES: tuple[str, ...] = get_args(Country)
# At most three letters before the first digit, and one gap or two: enough for any country's codes, and for no name.
PostalCode = Annotated[
    str,
    Field(max_length=10, pattern=r"^(?:[A-Za-z]{1,3}[ -]?)?[0-9][0-9A-Za-z]{0,7}(?:[ -][0-9A-Za-z]{1,4})?$"),
]
PostalArea = Annotated[str, Field(pattern=r"^[0-9A-Z]{0,4}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Short = Annotated[str, Field(min_length=1, max_length=40)]
Token = Annotated[str, Field(pattern=r"^[a-z]+:[0-9a-f]{32}$")]


class Address(Strict):
    """Where a customer lives. Masking leaves the postal area and the country."""

    street: Annotated[Text | None, PII("drop")] = None
    city: Annotated[Text | None, PII("drop")] = None
    postal_code: Annotated[PostalCode | None, PII("area")] = None
    country: Country | None = None


class Customer(Strict):
    """Who ordered. Masking leaves tokens, and the address's area."""

    id: Annotated[Short | None, PII("hash", "customer")] = None
    name: Annotated[Text | None, PII("drop")] = None
    email: Annotated[Text | None, PII("hash", "email")] = None
    phone: Annotated[Short | None, PII("hash", "phone")] = None
    address: Address | None = None


class Line(Strict):
    """One line of an order; `unit_price` is in the order's currency."""

    stock_code: StockCode
    description: Annotated[Text | None, PII("scrub")]
    quantity: Quantity
    unit_price: UnitPrice


class Record(Strict):
    """One raw order. `order_id` opens with C for a cancellation and with A for an adjustment; `unit_price` is in
    `currency`; `time` carries its zone, and its hour is the shop's."""

    order_id: OrderId
    time: Time
    customer: Customer | None
    country: Country
    currency: Currency
    note: Annotated[Annotated[str, Field(max_length=2_000)] | None, PII("scrub")] = None
    lines: Annotated[list[Line], Field(min_length=1, max_length=MOST_LINES), AfterValidator(_no_zero_quantity)]

    @model_validator(mode="after")
    def _is_an_order(self) -> Self:
        if self.customer is None and not any(line.unit_price for line in self.lines):
            raise PydanticCustomError("no_order", "must name a customer or a price: with neither it is no order")
        return self


class MaskedAddress(Strict):
    """A postal area and a country."""

    postal_code: PostalArea | None = None
    country: Country | None = None


class MaskedCustomer(Strict):
    """Who ordered, as tokens that are equal for equal people."""

    id: Token | None = None
    email: Token | None = None
    phone: Token | None = None
    address: MaskedAddress | None = None


class MaskedLine(Strict):
    """One line of an order, its description scrubbed."""

    stock_code: StockCode
    description: str | None
    quantity: int
    unit_price: UnitPrice


class Masked(Strict):
    """One order without personal data: all that anything behind the gatekeeper ever sees. That `country` is one of
    `COUNTRIES` is checked again there, for all orders at once."""

    order_id: OrderId
    time: AwareDatetime
    customer: MaskedCustomer | None
    country: str
    currency: Currency
    note: str | None = None
    lines: Annotated[list[MaskedLine], Field(min_length=1, max_length=MOST_LINES)]


class Request(Record):
    """One order to judge: a raw order as it is, or the same without customer and note, which the model never reads."""

    customer: Customer | None = None


class Response(BaseModel):
    """The verdict on one order. `score` falls below 0 for an anomaly, and further the odder the order is."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    order_id: str
    anomaly: bool
    label: Literal["normal", "anomaly"]
    score: float
    model_version: int


EXAMPLE: dict[str, Any] = {
    "order_id": "536365",
    "time": "2010-12-01T08:26:00Z",
    "customer": {
        "id": "17850",
        "name": "Ada Example",
        "email": "ada@example.com",
        "phone": "+44 7700 900123",
        "address": {
            "street": "1 Example Street",
            "city": "London",
            "postal_code": "SW1A 1AA",
            "country": "United Kingdom",
        },
    },
    "country": "United Kingdom",
    "currency": "GBP",
    "note": None,
    "lines": [
        {"stock_code": "85123A", "description": "WHITE HANGING HEART HOLDER", "quantity": 6, "unit_price": 2.55},
        {"stock_code": "71053", "description": "WHITE METAL LANTERN", "quantity": 6, "unit_price": 3.39},
    ],
}


def record_id(record: Record | Masked) -> str:
    """What makes a record one: two with the same id are duplicates."""
    return record.order_id


def record_time(record: Record | Masked) -> datetime:
    """When the record happened; what a split by time sorts by."""
    return record.time
