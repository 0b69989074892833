# The page on a CPU, as a user without rights:
#   docker build -t dynamask-studio . && docker run --rm -p 7860:7860 dynamask-studio
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/tmp/dynamask MPLCONFIGDIR=/tmp/matplotlib DYNAMASK_RUNS=/home/studio/runs

RUN useradd --create-home --uid 1000 studio
WORKDIR /srv/studio
COPY requirements.txt requirements.lock ./
RUN pip install --no-cache-dir -r requirements.txt -c requirements.lock
# .dockerignore lets through only the packages and assets
COPY --chown=root:root . .
USER studio

EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/', timeout=5)"]
# --public: inside the container 127.0.0.1 would be unreachable
CMD ["python", "-m", "app", "--public", "--port", "7860"]
