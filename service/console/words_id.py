"""The console in Indonesian. `words_en.py` has the same names; a test sees that none is missing in either."""

WORDS = {
    # The frame around every page
    "nav.name": "Halaman",
    "nav.skip": "Langsung ke isi halaman",
    "nav.board": "Papan",
    "nav.language": "Bahasa",
    "nav.sign_out": "Keluar",
    # Signing in
    "sign_in.title": "Masuk",
    "sign_in.what": "Papan ini dibuka dengan kunci akses operator.",
    "sign_in.key": "Kunci akses",
    "sign_in.go": "Masuk",
    "sign_in.kept": "Anda tetap masuk paling lama dua belas jam. Kuncinya sendiri tidak disimpan di peramban ini.",
    "sign_in.unknown": "Kunci ini tidak membuka apa pun: tidak dikenal, atau sudah dicabut.",
    "sign_in.role": "Kunci ini bukan untuk papan: diperlukan kunci operator atau admin.",
    # What cannot be shown
    "refused.title": "Tidak tersedia",
    "refused.role": "Kunci akses Anda tidak membuka halaman ini.",
    "refused.unknown": "Panggilan ini tidak dikenal di sini. Mungkin sudah dihapus.",
    "refused.store": "Layanan sedang tidak dapat membaca penyimpanannya. Coba lagi.",
    "refused.back": "Kembali ke papan",
}
