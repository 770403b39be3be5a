"""Lines of the half-hourly summaries."""

import gzip

from producers.recordings.bbo.fed_rows import NEEDED
from tests.builders.places import REPOSITORY as ROOT

FEES = ROOT / "docs" / "examples" / "fees_fed_dec2025.yaml"
STAMP = 1_763_272_880_028


def write_csv(path, *lines, header=NEEDED):
    text = "\n".join([",".join(header), *(",".join(line) for line in lines)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def line(stamp, polymarket=("0.5", "0.49", "64469.59", "18493.099"), kalshi=("0.5", "0.48", "4024.0", "26176.0")):
    return (str(stamp), *polymarket, *kalshi)
