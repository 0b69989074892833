"""Strings of the Batch tab, and of the errors of archives and videos."""

from __future__ import annotations

TAB_BATCH = "Batch"
BATCH_INTRO = (
    "Up to {photos} photos, a zip of them, or one video of up to {seconds:g} s. "
    "Photos that cannot be used are listed with the reason; the rest goes on."
)
BATCH_FILES = "Photos, a zip, or a video"
BATCH_POLICY = "Who chooses the grid"
BATCH_EVERY = "Video: every n-th frame"
BATCH_EVERY_INFO = "At most {frames} frames are analysed."
BATCH_SCORE = "Smallest score"
BATCH_START = "Start"
BATCH_STOP = "Stop"
BATCH_DOWNLOAD = "Download everything (zip)"
BATCH_GALLERY = "Pictures"
BATCH_TABLE = "Objects"
BATCH_TRACKS = "Grid of each track over time"
BATCH_TRACKS_NOTE = (
    "{tracks} tracks; from one sighting to the next the grid changed {flips} times in {steps} "
    "({rate:.0%})."
)
BATCH_PROBLEMS = "Could not be used"
BATCH_IDLE = "Choose files, then press Start."
BATCH_STARTING = "Looking at the files."
BATCH_PROGRESS = "Progress"
BATCH_NOTICES = "What was changed on reading"
BATCH_RUNNING = "{done} of {total} analysed; {name}; about {left} left, {speed:.2g} per second."
BATCH_RUNNING_FIRST = "0 of {total} analysed; {name}."
BATCH_FINISHED = "Done: {done} of {total} analysed, {objects}."
BATCH_STOPPED = "Stopped: {done} of {total} analysed, {objects}. What is done can be downloaded."
BATCH_FAILED = "Nothing could be used: {reason}"
BATCH_MORE_ROWS = "The table shows the first {shown} of {total} objects; the download has all."
BATCH_FRAME = "frame {index} ({seconds:.2f} s)"
BATCH_SECONDS = "{count} s"
BATCH_MINUTES = "{count} min"

COLUMNS = ("File", "Id", "Class", "Score", "Grid", "Mask, px²", "GMAC", "Track")

# -- what may be uploaded
NO_FILES = "Expected photos, a zip or a video, got nothing; choose files."
TOO_MANY = "Expected at most {most} photos, got {count}; leave some out."
ONE_ARCHIVE = "Expected one zip or one video by itself, got it among other files; choose only it."
TOO_LARGE = "Expected a file of at most {most:.0f} MB, got {size:.0f} MB ({name}); make it smaller."

# -- archives
ZIP_DAMAGED = "Expected a zip file that can be read, got a damaged one ({name}); make it again."
ZIP_LOCKED = "Expected a zip without a password, got an encrypted one ({name}); make it without."
ZIP_NESTED = "Expected photos in the zip, got an archive inside it ({name}); unpack that one first."
ZIP_PATHS = (
    "Expected plain names in the zip, got one that leads out of it ({name}); make the zip again."
)
ZIP_LINKS = "Expected photos in the zip, got a link to a file ({name}); zip the photo itself."
ZIP_FILES = "Expected at most {most} files in the zip, got {count}; leave some out."
ZIP_BOMB = (
    "Expected a zip that unpacks to at most {most:.0f} MB and {ratio} times its size, got one that "
    "claims more; make it again from photos."
)
ZIP_LIED = "Expected {name} to be as large as the zip says, got more; make the zip again."
ZIP_METHOD = "Expected a plain zip, got one packed in an unusual way ({name}); make it again."
ZIP_EMPTY = "Expected photos in the zip, got none; put photos into it."

# -- videos
VIDEO_KIND = "Expected a video as MP4, MOV, WebM, MKV or AVI, got another ({name}); convert it."
VIDEO_DAMAGED = "Expected a video that can be read, got a damaged one ({name}); export it again."
VIDEO_LONG = "Expected a video of at most {most:g} s, got {seconds:.0f} s ({name}); cut it."
VIDEO_FRAMES = (
    "Expected at most {most} frames to analyse, got {count}; raise n in every n-th frame."
)
VIDEO_SIZE = (
    "Expected a video of at most {most:g} megapixels, got {width} x {height} px; make it smaller."
)
VIDEO_SLOW = "Expected a video that decodes in time, got {name}; convert it to MP4."
VIDEO_STOPPED = "Expected time to open the video, got Stop first ({name}); press Start again."
VIDEO_ENDED = "The video ended after {frames} of {promised} frames; it may be damaged."
VIDEO_RATE = "The video does not say its frame rate; {rate:g} per second was assumed."
