"""The words in which a certificate speaks to a supervisor, in English and Indonesian."""

from math import ceil
from typing import Literal

Language = Literal["en", "id"]
LANGUAGES: tuple[Language, ...] = ("en", "id")

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "ring": "As the phone rings",
        "opening": "As the call joins the queue",
        "of": "in",
        "promise": "{stage}: with {callers} genuine callers this centre can promise at {confidence} "
        "confidence that at most {share} genuine callers are marked as a likely prank.",
        "no_promise": "{stage}: no proof is possible yet: {missing} more genuine {noun} needed for {alpha}, "
        "so no call is marked.",
        "one": "caller is",
        "many": "callers are",
        "on": "Calls may be deferred here: it is proven that genuine callers gain by it on average.",
        "off": "No call is deferred here: it is not proven that genuine callers gain by it on average, so the "
        "queue is first come, first served.",
        "procedure": "This certifies the way in which the model was made, not this very model.",
        "lost": "This certificate does not hold ({reason}): no call is marked or deferred, and the queue is "
        "first come, first served.",
        "release_changed": "it belongs to another release",
        "monitor": "more genuine callers were marked than promised",
        "base_rate_fell": "the share of false calls has fallen by more than a third",
        "drift": "calls no longer look like those it rests on",
        "not_yet_issued": "it is not yet in force",
        "expired": "it is older than 180 days",
    },
    "id": {
        "ring": "Saat telepon berdering",
        "opening": "Saat panggilan masuk antrean",
        "of": "dari",
        "promise": "{stage}: dengan {callers} penelepon yang benar-benar darurat, pusat ini dapat menjanjikan "
        "dengan keyakinan {confidence} bahwa paling banyak {share} penelepon darurat ditandai kemungkinan iseng.",
        "no_promise": "{stage}: belum ada bukti yang mungkin: masih diperlukan {missing} penelepon darurat "
        "lagi untuk {alpha}, jadi tidak ada panggilan yang ditandai.",
        "one": "",
        "many": "",
        "on": "Panggilan boleh ditunda di tahap ini: terbukti bahwa penelepon darurat rata-rata diuntungkan.",
        "off": "Tidak ada panggilan yang ditunda di tahap ini: belum terbukti bahwa penelepon darurat "
        "rata-rata diuntungkan, jadi antrean tetap menurut urutan datang.",
        "procedure": "Yang dijamin adalah cara model ini dibuat, bukan model ini sendiri.",
        "lost": "Sertifikat ini tidak berlaku ({reason}): tidak ada panggilan yang ditandai atau ditunda, "
        "dan antrean menurut urutan datang.",
        "release_changed": "sertifikat ini milik rilis lain",
        "monitor": "penelepon darurat yang ditandai lebih banyak daripada yang dijanjikan",
        "base_rate_fell": "porsi panggilan palsu turun lebih dari sepertiga",
        "drift": "panggilan tidak lagi mirip dengan yang menjadi dasarnya",
        "not_yet_issued": "sertifikat ini belum berlaku",
        "expired": "umurnya lebih dari 180 hari",
    },
}


def percent(share: float, language: Language) -> str:
    """Write a share in percent, with the decimal mark of the language.

    Examples
    --------
    >>> percent(0.975, "en"), percent(0.975, "id"), percent(0.95, "id")
    ('97.5 %', '97,5 %', '95 %')
    """
    number = f"{100.0 * share:.6g}"
    return f"{number.replace('.', ',') if language == 'id' else number} %"


def of_hundred(share: float, of: str) -> str:
    """Write a share as a count of a hundred, or of more when needed; rounded up, never down.

    Examples
    --------
    >>> of_hundred(0.05, "in"), of_hundred(0.005, "dari"), of_hundred(0.02785, "in")
    ('5 in 100', '5 dari 1000', '279 in 10000')
    """
    for whole in (100, 1_000, 10_000):
        # Nine places are enough to see that 0.07 * 100 is 7.
        count = round(share * whole, 9)
        if count == int(count):
            break
    return f"{ceil(count)} {of} {whole}"
