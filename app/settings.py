"""Limits of the page, each with its reason."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "assets" / "examples"
WEIGHTS_ENV = "DYNAMASK_WEIGHTS"

HOST = "127.0.0.1"  # only this machine, unless --public
PORT = 7860

# -- memory and load
SCENE_CACHE_BYTES = 1_000_000_000  # about 25 photos; leaves room for two analyses in 3 GB
SECOND_CACHE_BYTES = 300_000_000  # photos as a second weights file, given to compare, sees them
DECODED_CACHE_BYTES = 150_000_000  # results of slider moves that selection and downloads reuse
STRIP_CACHE_BYTES = 150_000_000  # film strips: each is timed once and shown again and again
TRUTH_CACHE_BYTES = 100_000_000  # ground truth stays polygons and run lengths, so this is a lot
MODEL_WAIT_SECONDS = 180.0  # a cold disk and two cores load PyTorch and the model in under 30 s
QUEUE_SIZE = 32  # the 33rd request is told at once that the server is busy
UI_CONCURRENCY = 4  # listeners that do not run the model
STATE_SESSIONS = 200  # a session holds a key and a few boxes, not tensors
MAX_FILE_SIZE = "200mb"  # a zip or video; app.uploads allows a photo 20 MB, and limits pixels
DELETE_CACHE = (3600, 86_400)  # look every hour, delete uploads older than a day

# -- what strangers may keep on a public server
VISITOR_RUNS = 5
VISITOR_RUN_BYTES = 1_500_000_000  # one zip unpacks to at most 1 GB
ALL_RUN_BYTES = 20_000_000_000
RUN_HOURS = 24.0  # after the last look; as long as uploads are kept

# -- the picture
DISPLAY_SIDE = 1600  # px; sharper than the column it is shown in, and small enough to send
JPEG_QUALITY = 88
CONTOUR_SLACK = 0.6  # px by which an outline may differ from its mask, to send fewer points

CROP_SIDE = 1200  # px of a crop's longer side as it is sent; outlines are vectors at any size
CROP_MARGIN = 0.08  # of the box's longer side, so that an outline on the box is seen whole
TRUTH_FILE_BYTES = 100_000_000  # instances_val2017.json has 20 MB

# -- what a browser may send
MAX_DRAWN = 24  # boxes per photo; more would only slow every slider down
MIN_DRAWN_SIDE = 4.0  # px; anything smaller is a slip of the hand
MAX_COORDINATE = 1e6  # px; beyond every photo that can be opened

# -- first values of the controls
POLICY = "msm"
THRESHOLD = 0.5
THRESHOLD_RANGE = (0.1, 0.9)
MIN_SCORE = 0.3  # as for `python -m dynamask predict`
MIN_SCORE_RANGE = (0.05, 0.95)
MAX_OVERLAP = 0.3  # IoU within a class; chosen on training photos by docs/doubles.py
